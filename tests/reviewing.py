"""A bank under review, and a client of the page, for tests."""

from bench.knowledge.bank import load
from bench.knowledge.review import create_app

TOKEN, PORT = "the-token-of-this-test", 5000


HERE = f"http://127.0.0.1:{PORT}"


SENT = {"Origin": HERE}


ODD = 'rock & "roll" <3'


RAISED = {"text": "A hand goes up.", "kind": "motion", "origin": "gpt", "status": "proposed"}


OPEN = {"text": "The palm is open.", "kind": "appearance", "origin": "gpt", "status": "proposed"}


CLOSE = {
    **RAISED,
    "text": "Both hands meet.",
    "status": "rejected",
    "scores": {"margin": -0.1},
    "nearest": "clap",
    "reason": "closer to the class 'clap' <script>alert(1)</script>",
}


def client_of(desk):
    """A browser that opened the printed address."""
    client = create_app(desk, TOKEN, PORT).test_client()
    assert client.get(f"/?token={TOKEN}", base_url=HERE).status_code == 200
    return client


def version(client):
    return client.get("/bank", base_url=HERE).json["version"]


def decide(client, action="accept", name="wave", number=0, headers=SENT, **more):
    asked = {"class": name, "number": number, "action": action, "reviewer": "", **more}
    if "version" not in asked:
        asked["version"] = version(client)
    return client.post("/decide", json=asked, base_url=HERE, headers=headers)


def undo(client, number):
    return client.post("/undo", json={"version": version(client), "undo": number}, base_url=HERE, headers=SENT)


def statement(path, name="wave", number=0):
    return load(str(path)).classes[name][number]
