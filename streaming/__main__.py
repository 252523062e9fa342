"""`python -m streaming worker | produce | demo | score`: what needs a process of its own."""

import sys


def main() -> None:
    """`worker --channel-fd N` is the sidecar's; all else is for people and has `--help`."""
    if sys.argv[1:3] == ["worker", "--channel-fd"]:
        from streaming.start import main as work

        work(int(sys.argv[3]))
    elif sys.argv[1:2] == ["score"]:
        from streaming.score import main as score

        score(sys.argv[2:])
    else:
        from streaming.demo.cli import app

        app(prog_name="penstock")


if __name__ == "__main__":
    main()
