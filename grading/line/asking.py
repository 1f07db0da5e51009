"""Who asks the network for defects about a side of a fruit: at once, or in a thread while the belt runs on."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeAlias

from grading.defects import DefectModel
from grading.errors import ModelFileError
from grading.line.views import Skin
from grading.measure import Measures
from grading.second_look import Answer, ask


class Reply(Protocol):
    """An answer that may still be on its way."""

    def done(self) -> bool:
        """Whether it is there."""
        ...

    def result(self) -> Answer:
        """Return it. Raises ModelFileError where the network cannot be run."""
        ...

    def cancel(self) -> bool:
        """Say that nobody waits for it any more; one that nobody has begun is never looked up."""
        ...


Ask: TypeAlias = Callable[[Skin, Measures], Reply]


def at_once(model: DefectModel) -> Ask:
    """Return who answers before the belt goes on: the same frames always give the same answers."""

    def asked(skin: Skin, measures: Measures) -> Reply:
        reply: Future[Answer] = Future()
        try:
            reply.set_result(ask(skin.pixels, skin.mask, measures, model))
        except ModelFileError as error:
            reply.set_exception(error)
        return reply

    return asked


def in_a_thread(model: DefectModel) -> Ask:
    """Return who answers in one thread, in the order asked: a belt asks about each fruit one side at a time."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="marks")
    return lambda skin, measures: thread.submit(ask, skin.pixels, skin.mask, measures, model)
