"""The table of what is deployed: each file once, with what was done with it here."""

import re
from collections import Counter
from pathlib import Path

from streaming.settings_tree import APPLIES
from tests.docs import ROOT, with_blocks
from tests.ops import files


def test_every_file_is_in_the_table_once_and_no_other() -> None:
    assert Counter(file.path for file in files.FILES) == Counter(files.there())


def test_the_table_of_the_page_is_that_of_the_list() -> None:
    written = files.PAGE.read_text()
    assert written == with_blocks(written, {"files": files.table()}), "run python -m tests.ops.files"


def test_what_never_ran_says_so_in_its_first_line_and_nothing_else_does() -> None:
    can_say = [file for file in files.FILES if Path(file.path).suffix not in files.WITHOUT_COMMENTS]
    said = {file.path for file in can_say if files.says_never_run(ROOT / file.path)}
    assert said == {file.path for file in can_say if file.proof is not files.RAN}


def test_every_variable_named_is_a_setting() -> None:
    known = {name.replace(".", "__").upper() for name in APPLIES}
    texts = [path.read_text() for path in map(ROOT.joinpath, files.there()) if path.suffix != ".png"]
    named = {name for text in texts for name in re.findall(r"PENSTOCK_([A-Z]+__[A-Z_]+)", text)}
    assert named
    assert {name.removesuffix("_FILE") for name in named} - known == set()
