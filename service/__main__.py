"""`python -m service` is `penstock serve`."""

import sys

from service.argv import hide_secrets
from service.cli import main

hide_secrets()
main(["serve", *sys.argv[1:]])
