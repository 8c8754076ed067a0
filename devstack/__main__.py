"""`python -m devstack`, which is `make run`: the product in the foreground until Ctrl-C or SIGTERM.

Exit code 0 after a stop that was asked for, 1 when something is in the way or breaks. The imports take a second or
more and come late, so that a stop during them is a clean one as well.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from rich.console import Console

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_SECONDS: Final = 14.5


def main() -> None:
    for number in _wanted_signals():
        signal.signal(number, lambda _number, _frame: os._exit(0))  # nothing is started yet
    print("Starting Hermod ...", flush=True)
    import uvloop

    from devstack.options import forget_other_servers

    if named := forget_other_servers():
        print(f"Not used here, as everything is embedded: {', '.join(named)}", flush=True)
    uvloop.run(_main())


async def _main() -> NoReturn:
    """Leaves by itself, and does not wait for the loop's and the interpreter's own clean-up."""
    from rich.console import Console

    from devstack.errors import StackError
    from devstack.options import load_options
    from devstack.stack import run
    from hermod.contracts.errors import HermodError
    from hermod.settings import SettingsError
    from starter.process.exit import leave

    console, errors = Console(), Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        running = asyncio.create_task(run(load_options(), console))
        _on_signals(running, console)
        await running
    except asyncio.CancelledError:
        leave(0)
    except (StackError, SettingsError, HermodError) as error:
        errors.print(f"\n{error}")
    except Exception:  # noqa: BLE001 - shown to the person at the terminal, who can report it
        errors.print_exception()
    leave(1)


def _on_signals(running: asyncio.Task[None], console: Console) -> None:
    """The first signal stops everything in order; a second one, or the time limit, at once.

    Leaving at once is safe: the kernel ends our children, and the next start recovers.
    """
    from devstack.progress import say
    from starter.process.exit import leave

    loop = asyncio.get_running_loop()

    def stop() -> None:
        if running.cancelling():
            leave(1)
        say(console, "\nStopping; work under way is finished or kept for the next start.")
        loop.call_later(_STOP_SECONDS, leave, 0)
        running.cancel()

    for number in _wanted_signals():
        loop.add_signal_handler(number, stop)


def _wanted_signals() -> list[signal.Signals]:
    """SIGHUP only where nohup has not switched it off. SIGINT always: a shell script switches it off for what it starts
    in the background, and whoever sends it to this very process means it.
    """
    spared = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _STOP_SIGNALS if not (spared and number is signal.SIGHUP)]


if __name__ == "__main__":
    main()
