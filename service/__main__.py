"""`python -m service` is `penstock serve`."""

import sys

from service.cli import main

main(["serve", *sys.argv[1:]])
