"""Talking to a firmware on a board, over a serial port that may lose bytes, to a board that may reset.

What is asked is asked until it is answered: `@ping` until the firmware says that it is ready, then the request until
the firmware says that it has begun, then nothing but an answer with the request's number and the right CRC counts.
A board that says `ready` in between was reset, or its answer got lost: it is asked again.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcu_sdk.console import log
from mcu_sdk.errors import McuSdkError, RunError, TargetTimeoutError
from mcu_sdk.targets.image import Image
from mcu_sdk.targets.ports import Port, called, open_port, port_errors
from mcu_sdk.targets.process import DEFAULT_TIMEOUT, LARGEST_OUTPUT
from mcu_sdk.targets.protocol import (
    FORGET_LINE,
    PING,
    Listener,
    Message,
    News,
    OnText,
    Request,
    Transcript,
    new_number,
)
from mcu_sdk.targets.verdict import check_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable


@dataclass(frozen=True)
class Pace:
    """Seconds. `poll`: of one look at the port. `reply`: within which a firmware that waits says something.
    `patience`: how long it may fail to, over all attempts at a request. `quiet`: of silence within an answer, after which
    it is asked whether it still works; again after as many, then after twice as many each time. `attempts`: how often a
    request is sent.

    A fault is found, and mended or named, within patience and twice quiet; only a firmware that computes in silence can
    take longer, which is not told from one that hangs. One whose answer was given up is waited for without patience.
    """

    poll: float = 0.1
    reply: float = 0.5
    patience: float = 2.5
    quiet: float = 1.0
    attempts: int = 5


_BOOTS = 5
"""How often a board that is asked which image it is may say only that it is ready: it says so when it was reset."""


def run(
    port: str,
    request: Request,
    *,
    baud: int = 115200,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    pace: Pace | None = None,
    image: Image | None = None,
) -> Transcript:
    """Send the request to the firmware that waits at `port`, and return its answer, whose verdict is "ok".

    Errors as `each` and `check_verdict` raise them.
    """
    with closing(
        each(port, [request], baud=baud, timeout=timeout, on_text=on_text, pace=pace, image=image)
    ) as answers:
        return check_verdict(next(answers), called(port))


def each(
    port: str,
    messages: Iterable[Message],
    *,
    baud: int = 115200,
    timeout: float = DEFAULT_TIMEOUT,
    on_text: OnText | None = None,
    pace: Pace | None = None,
    image: Image | None = None,
) -> Generator[Transcript, None, None]:
    """Send the messages to the firmware that waits at `port`, each when the one before is answered, and give the answers.

    The firmware is not restarted, and not sent EOT, so it stays ready for the next request. `timeout`: seconds for each.
    `image`: which one it has to be, by its own word, before it is sent anything.

    Raises DeviceMissingError if the port cannot be opened, RunError if it goes away or floods, or if the board resets
    or the line loses bytes again and again, TargetTimeoutError if it does not say that it is ready, or gives no
    answer in `timeout` seconds, OtherImageError if it is another image.
    """
    pace = pace or Pace()
    conversation: Conversation | None = None
    connection = open_port(port, baud, poll=pace.poll, write_timeout=pace.patience)
    with connection:
        for message in messages:
            number = new_number()
            line = message.encode(number)
            connection.write_timeout = pace.patience + 20 * len(line) / baud
            listener = Listener(number, on_text)
            conversation = Conversation(
                connection, line, listener, called(port), pace, baud, image=image, before=conversation,
                is_ready=conversation is not None and not conversation.owes_ready,
            )  # fmt: skip
            refusal = None
            try:
                with port_errors(port):
                    conversation.hold(timeout)
            except RefusedError as error:
                refusal = error.answer
            yield refusal or listener.transcript()


class RefusedError(Exception):
    """The firmware said again and again that it cannot read the request. `answer`: the last of it, without a number."""

    def __init__(self, answer: Transcript) -> None:
        super().__init__(answer.facts)
        self.answer = answer


class Conversation:
    """One request over an open port. `line` is the request with the number that `listener` listens for; `is_ready`:
    whether the firmware has just answered another, and need not be asked; `before`: the one before over this port, whose
    request the firmware may be at work on, and be silent until that is done."""

    def __init__(
        self,
        connection: Port,
        line: bytes,
        listener: Listener,
        name: str,
        pace: Pace,
        baud: int = 115200,
        clock: Callable[[], float] = time.monotonic,
        image: Image | None = None,
        is_ready: bool = False,
        before: Conversation | None = None,
    ) -> None:
        self.may_be_at_work: bool = before is not None and before.may_be_at_work
        """Whether the firmware may be at work on this request or one before, and say nothing until it is done."""
        self._connection = connection
        self._line = line
        self._listener = listener
        self._name = name
        self._pace = pace
        self._seconds_to_send = 10 * len(line) / baud
        self._left = pace.patience  # seconds that may still be waited for a sign
        self._looked_at = self._heard_at = clock()  # when time was last taken off, and when bytes last came
        self._clock = clock
        self._image = image
        self._told_nothing = 0  # how often it said that it is ready, and not which image it is
        self._is_ready = is_ready
        self._pings: int = before._pings if before is not None else 0  # that are not answered yet
        self._sent = 0  # how often the request was
        self._troubles: list[str] = []  # why it was sent again
        self._was_busy = False
        self._refusal: Transcript | None = None  # the answer, without a number, that followed the request

    @property
    def owes_ready(self) -> bool:
        """Whether the firmware may still answer pings, and not listen meanwhile."""
        return self._pings > 0

    def hold(self, timeout: float) -> None:
        """Ask until the answer is complete; errors as `each` raises them, and RefusedError."""
        self.begin(timeout)
        while not self.advance():
            pass

    def begin(self, timeout: float) -> None:
        """Send the first bytes; `timeout`: seconds for all of it, and as many before for an earlier request to end."""
        self._timeout = timeout
        self._looked_at = self._heard_at = self._clock()
        self._deadline = self._looked_at + timeout
        if self._is_ready:
            self._send()
        else:
            self._ask_whether_ready()

    def advance(self) -> bool:
        """One look at the port, and what follows from it; whether the answer is complete. Errors as `hold`."""
        now = self._clock()
        if now > self._deadline:
            if self._is_waiting_for_earlier:
                raise self._still_at_work()
            raise TargetTimeoutError(
                f"{self._name} gave no complete answer within {self._timeout:g} seconds "
                f"({self._listener.received:,} bytes came).",
                hint="Ask for fewer tokens, or allow more with --timeout.",
            )
        if self._state != "answering" and not self._is_waiting_for_earlier:
            self._left -= max(0.0, now - max(self._looked_at, self._sent_whole_at))
        self._looked_at = now
        if self._left < 0:
            raise self._hopeless() if self._troubles else self._silent()
        if now > self._ask_again_at:
            self._ask_again(now)
        if self._state == "settling" and now - self._heard_at > 2 * self._pace.poll:
            self._send()  # the other pings were lost
        data = self._connection.read(max(1, self._connection.in_waiting))
        for news in self._listener.feed(data):
            if news is News.ANSWERED:
                self.may_be_at_work = False
                return True
            self._take(news)
        if self._listener.received > LARGEST_OUTPUT:
            raise RunError(f"{self._name} flooded its output.", hint="Is this the board with the firmware?")
        if data:
            self._heard_at = self._clock()
            if self._state == "answering":
                self._expect_more()
        return False

    # ---- states: "pinging" until it is ready, "settling" until it has said so to each ping (it may not listen while it
    # speaks), "sent" until it has begun, "answering"

    def _ask_whether_ready(self) -> None:
        self._state = "pinging"
        self._sent_whole_at = 0.0
        self._quiet = self._pace.quiet
        self._ping()

    @property
    def _is_waiting_for_earlier(self) -> bool:
        """Whether it is silent since it may be at work on an earlier request."""
        return self.may_be_at_work and self._sent == 0

    def _ping(self) -> None:
        # On a line that is known to lose bytes, or where it is long until the next one: twice.
        times = 2 if self._troubles or self._state == "answering" else 1
        self._connection.write((FORGET_LINE + PING) * times)
        self._pings += times
        self._ask_again_at = self._clock() + self._pace.reply

    def _send(self) -> None:
        if self._sent == self._pace.attempts:
            raise self._hopeless()
        self._sent += 1
        self.may_be_at_work = True
        self._connection.write(FORGET_LINE + self._line)
        self._state, self._pings = "sent", 0
        self._sent_whole_at = self._clock() + self._seconds_to_send
        self._ask_again_at = self._sent_whole_at + self._pace.reply

    def _expect_more(self) -> None:
        self._state = "answering"
        self._quiet = self._pace.quiet
        self._ask_again_at = self._clock() + self._quiet

    def _take(self, news: News) -> None:
        """Go on by what was heard."""
        if news is News.READY:
            self._take_ready()
        elif news is News.STARTED:
            self._refusal = None
            self._expect_more()
        elif news is News.DAMAGED:
            self._trouble("its answer lost bytes")
            self._ask_whether_ready()
        elif news is News.OTHER and self._state == "sent":
            self._refusal = self._listener.complaint
            self._trouble("it did not understand the request")
            self._ask_whether_ready()
        elif news is News.OTHER and self._state == "pinging" and not self._was_busy:
            self._was_busy = (
                True  # on something else until now; once only: whatever answers each ping so is no firmware
            )
            if not self._sent:
                self._left = self._pace.patience
            self._end_waiting()
            self._ping()

    def _take_ready(self) -> None:
        self._pings = max(0, self._pings - 1)
        if self._state == "answering":
            self._trouble("it was reset, or its answer got lost")
            self._left -= self._clock() - self._heard_at
            self._settle()
        elif self._state == "pinging" and self._is_right_image():
            self._settle()
        if self._state == "settling" and not self._pings:
            self._send()

    def _end_waiting(self) -> None:
        """It is at work on nothing of before; what is asked has all its time from now on."""
        if self._is_waiting_for_earlier:
            self._deadline = self._clock() + self._timeout
            self.may_be_at_work = False

    def _settle(self) -> None:
        self._end_waiting()
        self.may_be_at_work = False
        self._state, self._sent_whole_at = "settling", 0.0

    def _is_right_image(self) -> bool:
        """Whether it said so; at boot it says only that it is ready, and is asked again. OtherImageError if it is not."""
        if self._image is None:
            return True
        said = self._listener.ready
        if "build" not in said and self._told_nothing < _BOOTS:
            self._told_nothing += 1
            self._ping()
            return False
        self._image.check(said, self._name)
        return True

    def _ask_again(self, now: float) -> None:
        """Nothing has come for a while."""
        if self._state == "settling":
            return
        if self._state == "sent":
            self._trouble("it did not begin to answer")
            self._ask_whether_ready()
            return
        self._ping()
        if self._state == "answering" or self._is_waiting_for_earlier:
            self._ask_again_at = now + self._quiet
            self._quiet *= 2

    def _trouble(self, what: str) -> None:
        self._troubles.append(what)
        log(f"  {self._name}: {what}; asking again")

    # ---- errors

    def _still_at_work(self) -> McuSdkError:
        return TargetTimeoutError(
            f"{self._name} was expected to end an earlier request, which was given up; within {self._timeout:g} seconds it "
            f"did not ({self._listener.received:,} bytes came).",
            hint="Wait for it, or reset the board; then ask again. --timeout allows more.",
        )

    def _silent(self) -> McuSdkError:
        """It did not say that it is ready."""
        found = f"{self._listener.received:,} bytes came, and none of them say so"
        hint = "Is this the board with the firmware, or still at work on an earlier request? Is the baud rate right?"
        if self._listener.complaint is not None:
            found += f" (it once complained: {self._listener.complaint.facts})"
        if not self._listener.received:
            found = "nothing came"
            hint = "Is the firmware running, not still at work on an earlier request, and are port and baud rate right?"
        return TargetTimeoutError(
            f"{self._name} was expected to say that it is ready within {self._pace.patience:g} seconds; {found}.",
            hint=hint + " Reset the board and try again.",
        )

    def _hopeless(self) -> Exception:
        """It was asked often enough."""
        if self._refusal is not None:
            return RefusedError(self._refusal)
        whys = [f"{why} ({self._troubles.count(why)} times)" for why in dict.fromkeys(self._troubles)]
        return RunError(
            f"{self._name} was asked {self._sent} times and gave no whole answer: {', '.join(whys)}.",
            hint="Check its power and its watchdog, the cable, and the baud rate.",
        )
