"""Two pagers on one PostgreSQL, one of them killed at a random moment again and again: what was missed or doubled."""

from __future__ import annotations

from contextlib import ExitStack

from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from tests.cloud.paging.test_kills import kill_again_and_again, serving, started
from tests.servers import postgres_or_skip

KILLS = 500
SEED = 20_26


def main() -> None:
    """Print the figures; an AssertionError names what does not hold."""
    with ExitStack() as opened:
        server = opened.enter_context(postgres_or_skip())
        url = server.url("postgres")
        engine = open_engine(url)
        migrate.migrate(engine)
        engine.dispose()
        receiver = opened.enter_context(serving())
        workers = [started(url, number) for number in range(2)]
        try:
            print("## Pagers killed\n")
            print(f"- {kill_again_and_again(url, receiver, workers, kills=KILLS, seed=SEED)}")
        finally:
            for process in workers:
                process.kill()
                process.join()


if __name__ == "__main__":
    main()
