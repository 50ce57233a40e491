import math
import shutil

import av
import numpy as np
import pytest
from fakes import frame_numbers, write_video
from hypothesis import given
from hypothesis import strategies as st

from bench.clips import segment_centres
from bench.frames import UndecodableVideo, _header, read

COUNTS = st.integers(1, 5000)
NUMBERS = st.integers(1, 64)


@given(COUNTS, NUMBERS)
def test_centres_are_as_many_as_asked_for_sorted_and_in_range(count, num):
    centres = segment_centres(count, num)
    assert len(centres) == num and centres.dtype == np.int64
    assert (np.diff(centres) >= 0).all()
    assert centres.min() >= 0 and centres.max() < count


@given(COUNTS, NUMBERS)
def test_each_centre_lies_in_its_own_segment_the_last_one_too(count, num):
    segment = count / num
    for number, centre in enumerate(segment_centres(count, num)):
        assert math.floor(number * segment) <= centre < (number + 1) * segment + 1e-9


@given(NUMBERS)
def test_as_many_frames_as_asked_for_are_each_taken_once(num):
    assert segment_centres(num, num).tolist() == list(range(num))


@pytest.mark.parametrize(
    ("count", "num", "centres"),
    [(100, 4, [12, 37, 62, 87]), (3, 1, [1]), (2, 4, [0, 0, 1, 1]), (1, 3, [0, 0, 0]), (9, 2, [2, 6])],
)
def test_centres_by_hand(count, num, centres):
    assert segment_centres(count, num).tolist() == centres


@pytest.mark.parametrize(("count", "num"), [(0, 4), (4, 0), (-1, 2)])
def test_nothing_to_choose_from_is_an_error(count, num):
    with pytest.raises(ValueError, match="must be positive"):
        segment_centres(count, num)


# --- which frames ------------------------------------------------------------------------------------------------

CONTAINERS = {
    "mp4": ("a.mp4", "libx264"),
    "mkv": ("a.mkv", "libx264"),
    "avi": ("a.avi", "mpeg4"),
    "mov": ("a.mov", "libx264"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("num", [1, 4, 20])
def test_the_frames_are_the_segment_centres_in_every_container(kind, num, tmp_path):
    name, codec = CONTAINERS[kind]
    path = write_video(tmp_path / name, 20, codec=codec)
    assert frame_numbers(read(path, num)) == segment_centres(20, num).tolist()


def test_frames_that_are_stored_out_of_order_come_in_order(tmp_path):
    path = write_video(tmp_path / "b.mp4", 24, options={"preset": "medium", "bf": "3", "b-adapt": "0"})
    with av.open(str(path)) as container:
        stored = [p.pts for p in container.demux(video=0) if p.pts is not None]
    assert stored != sorted(stored), "this file has no B-frames and so tests nothing"
    assert frame_numbers(read(path, 24)) == list(range(24))


@pytest.mark.parametrize("claimed", [0, 5, 22])
def test_a_header_that_lies_about_the_count_changes_nothing(claimed, tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 20)
    monkeypatch.setattr("bench.frames._header", lambda path: (claimed, 25.0))
    assert frame_numbers(read(path, 4)) == [2, 7, 12, 17]


def test_a_file_that_is_cut_off_is_no_shorter_video(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 20)
    monkeypatch.setattr("bench.frames._header", lambda path: (50, 25.0))
    with pytest.raises(UndecodableVideo, match="cut off: its header says 50 frames, 20 can be decoded"):
        read(path, 4)


def test_a_window_counts_from_the_videos_own_beginning(tmp_path):
    path = write_video(tmp_path / "a.mpg", 25, codec="mpeg1video", fps=25)
    # This codec's grey levels are off by a frame's worth.
    assert frame_numbers(read(path, 2, 0.0, 0.4)) == pytest.approx([2, 7], abs=1)
    assert frame_numbers(read(path, 2, 0.4, 0.8)) == pytest.approx([12, 17], abs=1)


def test_matroska_really_has_no_count(tmp_path):
    assert _header(write_video(tmp_path / "a.mkv", 20))[0] == 0


def test_a_header_really_lies(tmp_path):
    path = write_video(tmp_path / "a.avi", 20, codec="mpeg4")
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 8 + 32  # dwLength of the stream header
    assert int.from_bytes(content[at : at + 4], "little") == 20
    content[at : at + 4] = (7).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    assert _header(path)[0] == 7
    assert frame_numbers(read(path, 4)) == [2, 7, 12, 17]


@pytest.mark.parametrize(
    ("start", "end", "numbers"),
    [
        (1.0, 1.4, [10, 11, 12, 13]),
        (1.0, math.nan, [11, 13, 16, 18]),
        (math.nan, 0.4, [0, 1, 2, 3]),
        (0.95, 1.05, [10, 10, 10, 10]),
        (1.6, 99.0, [16, 17, 18, 19]),
    ],
)
def test_a_window_holds_the_frames_from_its_start_to_before_its_end(start, end, numbers, tmp_path):
    path = write_video(tmp_path / "a.mp4", 20, fps=10)
    assert frame_numbers(read(path, 4, start, end)) == numbers


def test_a_window_without_a_frame_is_undecodable_and_says_so(tmp_path):
    path = write_video(tmp_path / "a.mp4", 10, fps=10)
    with pytest.raises(UndecodableVideo, match=r"a.mp4: no frame between 5.0 s and 6.0 s"):
        read(path, 4, 5.0, 6.0)


def test_a_one_frame_video_repeats_its_frame(tmp_path):
    video = read(write_video(tmp_path / "a.mp4", 1, first=7), 4)
    assert frame_numbers(video) == [7, 7, 7, 7]


def test_what_comes_back_is_a_fresh_array_of_bytes_in_rgb(tmp_path):
    video = read(write_video(tmp_path / "a.mp4", 5, size=(32, 48), colour=(220, 40, 90)), 3)
    assert video.shape == (3, 32, 48, 3) and video.dtype == np.uint8
    assert video.flags.writeable and video.flags.c_contiguous
    assert np.abs(video[0, 4:-4, 30:-4].mean(axis=(0, 1)) - (220, 40, 90)).max() < 8


# --- box and rotation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "shape"),
    [
        ((0.5, 0.0, 1.0, 1.0), (32, 24)),
        ((0.0, 0.25, 1.0, 0.5), (8, 48)),
        ((0.0, 0.0, 1.0, 1.0), (32, 48)),
        ((0.0, 0.0, 0.001, 0.001), (1, 1)),
    ],
)
def test_a_box_cuts_each_frame(box, shape, tmp_path):
    path = write_video(tmp_path / "a.mp4", 4, size=(32, 48))
    assert read(path, 2, box=box).shape == (2, *shape, 3)


def test_a_box_is_left_top_right_bottom(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1, size=(32, 48), colour=(235, 235, 235))
    assert read(path, 1, box=(0.6, 0.0, 1.0, 0.5)).mean() > 200, "the right half is bright"
    assert read(path, 1, box=(0.0, 0.5, 0.4, 1.0)).mean() < 40, "the left half is dark"


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_phones_video_is_turned_upright(angle, shared_data):
    """A keyboard; the stored picture is always 320 x 568, and where it was turned, keys were seen to stand upright in what comes out."""
    folder = shared_data / "edge_videos"
    video = read(folder / f"video_{angle}.mov", 3)
    assert video.shape == ((3, 320, 568, 3) if angle in (0, 180) else (3, 568, 320, 3))


@pytest.mark.parametrize("angle", [-90, 90, 180])
def test_the_turn_is_counter_clockwise_by_the_angle_that_the_decoder_names(angle, tmp_path):
    """A bright left half ends where the matrix of the container sends it: what FFmpeg's own autorotation shows."""
    path = write_video(tmp_path / "a.mp4", 1, size=(32, 48), first=0, colour=(235, 235, 235))
    turned = rotate_in_place(path, tmp_path / "turned.mp4", angle)
    with av.open(str(turned)) as container:
        frame = next(container.decode(video=0))
        assert frame.rotation % 360 == angle % 360
    picture = read(turned, 1)[0].astype(float).mean(axis=2)
    # The bright half was on the right. Counter-clockwise by 90 puts it on top; by -90 at the bottom; by 180 on the left.
    half = {
        90: picture[: len(picture) // 2],
        -90: picture[len(picture) // 2 :],
        180: picture[:, : picture.shape[1] // 2],
    }[angle]
    assert half.mean() > 200


def rotate_in_place(path, out, angle):
    """Write the display matrix of a turn, counter-clockwise, into the track header of an mp4."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of the header's fields
    cosine, sine = {90: (0, -1), -90: (0, 1), 180: (-1, 0)}[angle]
    numbers = [cosine, sine, 0, -sine, cosine, 0, 0, 0]
    matrix = b"".join((n * 65536).to_bytes(4, "big", signed=True) for n in numbers) + (1 << 30).to_bytes(4, "big")
    assert int.from_bytes(content[at : at + 4], "big") == 65536, "the matrix is not where it was thought to be"
    content[at : at + 36] = matrix
    out.write_bytes(bytes(content))
    return out


# --- files that are no videos ------------------------------------------------------------------------------------


def text_file(tmp_path, shared_data):
    path = tmp_path / "text.mp4"
    path.write_text("This is not a video.\n" * 50)
    return path


def empty_file(tmp_path, shared_data):
    path = tmp_path / "empty.mp4"
    path.touch()
    return path


def missing_file(tmp_path, shared_data):
    return tmp_path / "missing.mp4"


def a_folder(tmp_path, shared_data):
    (tmp_path / "folder.mp4").mkdir()
    return tmp_path / "folder.mp4"


def corrupted_file(tmp_path, shared_data):
    return shared_data / "edge_videos" / "corrupted.mp4"


def sound_only(tmp_path, shared_data):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut_off(tmp_path, shared_data):
    """An mp4 without its end, as a broken download leaves it: the table of contents is missing."""
    path = write_video(tmp_path / "whole.mp4", 40)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return cut


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text_file, "Invalid data"),
        (empty_file, "the file is empty"),
        (missing_file, "no such file"),
        (a_folder, "no such file"),
        (corrupted_file, "broken after 28 frames"),
        (sound_only, "no video stream"),
        (cut_off, "Invalid data"),
    ],
)
def test_what_is_no_whole_video_is_undecodable_with_name_and_reason(make, reason, tmp_path, shared_data):
    path = make(tmp_path, shared_data)
    with pytest.raises(UndecodableVideo) as error:
        read(path, 4)
    assert str(error.value).startswith(f"{path.name}: ") and reason in str(error.value)


@pytest.mark.parametrize(
    ("name", "shape", "brightness"),
    [
        ("unordered.mov", (50, 50), 255),  # white from first to last
        ("flipping_a_pancake.mkv", (240, 426), 118),
        ("test.avi", (240, 320), 87),
        ("S001C001P001R001A001_rgb.avi", (1080, 1920), 129),
    ],
)
def test_real_files_of_other_containers_decode(name, shape, brightness, shared_data):
    video = read(shared_data / "edge_videos" / name, 2)
    assert video.shape == (2, *shape, 3)
    assert video.mean() == pytest.approx(brightness, abs=1)


def test_the_name_of_a_file_is_not_a_pattern(tmp_path):
    """FFmpeg would take %03d for a sequence of pictures, and name: for a protocol."""
    path = write_video(tmp_path / "plain.mp4", 5)
    for name in ("100%d.mp4", "file:x.mp4", "a b'c.mp4", "größe.mp4"):
        shutil.copy(path, tmp_path / name)
        assert frame_numbers(read(tmp_path / name, 5)) == [0, 1, 2, 3, 4]
