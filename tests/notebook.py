"""A notebook for tests: a widget's messages, as a kernel gives and takes them."""

import queue
from collections.abc import Iterator
from contextlib import closing, contextmanager

from spora_db.explore.widget import LakeViewer


class Talk:
    """Sends messages to a widget, and takes what it sends."""

    def __init__(self, viewer: LakeViewer) -> None:
        self.viewer = viewer
        self.sent: queue.Queue = queue.Queue()
        viewer.send = lambda content, buffers=None: self.sent.put((content, buffers))  # instead of the kernel's

    def ask(self, content):
        self.viewer._handle_custom_msg(content, [])
        return self.sent.get(timeout=300)

    def get(self, path):
        told, (content,) = self.ask({"id": 7, "method": "GET", "path": path})
        assert told["id"] == 7
        return told, content


@contextmanager
def viewed(query, *names, **options) -> Iterator[Talk]:
    with closing(query.view(*names, **options)) as viewer:
        yield Talk(viewer)
