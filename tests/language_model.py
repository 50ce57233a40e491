"""A language model's server for tests: it says what a test wants, and remembers what it was asked."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-thatNobodyMaySee-0123456789"


CLASSES = ("jump up", "WaveHands", "sit_down")


GOOD = json.dumps([f"The {w} arm moves slowly in front of the body." for w in ("left", "right", "other", "same")])


def completion(text, **choice):
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {"model": "fake-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop", **choice}]}


class Server:
    """Answers by `say(prompt, how manieth request) -> (status, body, headers)` and remembers what it was asked."""

    def __init__(self):
        self.say = lambda prompt, number: (200, completion(GOOD), {})
        self.asked, self.keys, self.bodies, self.free = [], [], [], threading.Event()
        lock, me = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    prompt = body["messages"][0]["content"]
                    me.asked.append(prompt)
                    me.bodies.append(body)
                    me.keys.append(self.headers["authorization"])
                    number = len(me.asked)
                status, answer, headers = me.say(prompt, number)
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    usual = {"content-type": "application/json", "content-length": len(content), "connection": "close"}
                    for name, value in {**usual, **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client went away, as it was to

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.free.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def about(self, name):
        return [p for p in self.asked if f'"{name}", one class' in p]


def raw(knowledge):
    return sorted((knowledge / "three" / "raw").glob("*.json"))


def named(prompt):
    return next(c for c in CLASSES if f'action is "{c}"' in prompt)
