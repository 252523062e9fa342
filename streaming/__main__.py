"""`python -m streaming worker | decode | export | adapt | doctor | examine | produce | demo | score`: processes."""

import sys


def main() -> None:
    """`worker --channel-fd N`, `export` and `adapt` are the sidecar's, `decode --reply-fd N` the worker's,
    `examine --reply-fd N` the doctor's; the rest is for people."""
    if sys.argv[1:3] == ["worker", "--channel-fd"]:
        from streaming.start import main as work

        work(int(sys.argv[3]))
    elif sys.argv[1:3] == ["decode", "--reply-fd"]:
        from streaming.decode_child import main as decode

        decode(int(sys.argv[3]))
    elif sys.argv[1:] in (["export"], ["adapt"]):
        from streaming.errand import main as run

        run()
    elif sys.argv[1:3] == ["examine", "--reply-fd"]:
        from streaming.doctor.examination import main as examine

        examine(int(sys.argv[3]))
    elif sys.argv[1:2] == ["doctor"]:
        from streaming.doctor.cli import app as doctor

        doctor(sys.argv[2:], prog_name="penstock doctor")
    elif sys.argv[1:2] == ["score"]:
        from streaming.score import main as score

        score(sys.argv[2:])
    else:
        from streaming.demo.cli import app

        app(prog_name="penstock")


if __name__ == "__main__":
    main()
