"""What reading a run's code tells about whether it does the same again."""

from __future__ import annotations

import pytest

from py_code_mode_jupyter.history import Reader, nondeterminism

SAME = [
    "x = 1",
    "",
    "# nothing",
    "sum(i**2 for i in range(10))",
    "import numpy as np\nrng = np.random.default_rng(42)\nrng.normal(size=3)",
    "import random\nrandom.seed(1)\nrandom.random()",
    "import random\nr = random.Random(5)\nr.random()",
    "import pandas as pd\npd.DataFrame({'a': [1, 2]}).groupby('a').sum()",
    "from datetime import datetime, timedelta\ndatetime(2026, 1, 1) + timedelta(days=1)",
    "import time; time.sleep(0.1)",
    "sorted({'b', 'a'})",
    "'a' in {'a', 'b'}",
    "{1, 2, 3}",
    "len(set('abc'))",
    "%matplotlib inline",
    "import matplotlib.pyplot as plt\nplt.plot([1, 2])",
    "artifacts.save('x', 1)",
    "def f():\n    return input()",
    "time = 3\ntime + 1",
    "def hour(time):\n    return time.hour",
    "import uuid\nuuid.uuid5(uuid.NAMESPACE_URL, 'x')",
    "await f(1)",
    "class A:\n    random = 1\nA().random",
]
DIFFERS = {
    "import time\ntime.time()": "time: time.time",
    "from datetime import datetime\ndatetime.now()": "time: datetime.datetime.now",
    "import datetime as dt\ndt.date.today()": "time: datetime.date.today",
    "import random\nrandom.random()": "random: random.random",
    "from random import choice as pick\npick([1])": "random: random.choice",
    "import numpy as np\nnp.random.rand(3)": "random: numpy.random.rand",
    "np.random.default_rng().normal()": "random: numpy.random.default_rng",
    "df.sample(3)": "random: .sample()",
    "import uuid\nuuid.uuid4()": "uuid: uuid.uuid4",
    "import secrets\nsecrets.token_hex()": "uuid: secrets.token_hex",
    "import requests\nrequests.get('https://x')": "network: requests.get",
    "import urllib.request as r\nr.urlopen('x')": "network: urllib.request.urlopen",
    "open('data.csv').read()": "files: open()",
    "from pathlib import Path\nPath('x').read_text()": "files: .read_text()",
    "pd.read_csv('x.csv')": "files: .read_csv()",
    "import os\nos.listdir()": "files: os.listdir",
    "input('?')": "input: input()",
    "!ls -l": "subprocess: a shell command",
    "files = !ls": "subprocess: a shell command",
    "%%bash\ndate": "subprocess: the magic %bash",
    "%timeit 1 + 1": "time: the magic %timeit",
    "%pip install six": "network: the magic %pip",
    "%somebodys_magic": "unknown: the magic %somebodys_magic",
    "import subprocess\nsubprocess.run(['date'])": "subprocess: subprocess.run",
    "import os\nos.environ['HOME']": "environment: os.environ",
    "import os\nos.environ.get('HOME')": "environment: os.environ.get",
    "import platform\nplatform.node()": "environment: platform.node",
    "artifacts.load('x')": "storage: artifacts.load",
    "workflows.invoke('x')": "storage: workflows.invoke",
    "import threading\nthreading.Thread(target=f).start()": "threads: threading.Thread",
    "{'a', 'b'}": "order: a set of texts comes in another order in every process",
    "list(set(words))": "order: a set of texts comes in another order in every process",
    "hash('x')": "order: hash()",
    "id(x)": "order: id()",
    "exec(text)": "unknown: exec()",
    "eval(text)": "unknown: eval()",
    "import importlib\nimportlib.import_module('x')": "unknown: importlib.import_module",
    "import mine.own": "unknown: what mine.own does is not looked into",
    "from . import x": "unknown: what . does is not looked into",
    "x = (": "unknown: its code cannot be read as Python",
    "\ud800": "unknown: its code cannot be read as Python",
    "(" * 3000: "unknown: its code cannot be read as Python",
    "x = " + "1 + " * 900 + "1": "unknown: its code is nested too deeply to be read",
    "x\0": "unknown: its code cannot be read as Python",
}


@pytest.mark.parametrize("code", SAME)
def test_code_that_does_the_same_again_is_not_suspected(code: str) -> None:
    assert nondeterminism(code) == ()


@pytest.mark.parametrize("code", DIFFERS, ids=lambda code: ascii(code)[:60])
def test_what_may_differ_is_named_with_its_kind(code: str) -> None:
    assert nondeterminism(code) == (DIFFERS[code],)


def test_every_reason_is_named_once_and_in_order() -> None:
    code = "import time, random\nprint(time.time(), time.time(), random.random())\nopen('x')"
    assert nondeterminism(code) == ("time: time.time", "random: random.random", "files: open()")


def test_a_reader_follows_names_from_run_to_run() -> None:
    reader = Reader()
    assert [
        reader.read(code)
        for code in (
            "import random as r",
            "def throw():\n    return r.randint(1, 6)",
            "x = throw()",
            "y = x + 1",
            "x = 6",
            "x",
            "seen = []",
            "seen.append(y)",
            "len(seen)",
            "r.seed(1)",
            "z = r.random()",
            "z",
        )
    ] == [
        (),
        (),
        ("random: throw (random.randint)",),
        ("random: x (random.randint)",),
        (),
        (),
        (),
        ("random: y (random.randint)",),
        ("random: seen (random.randint)",),
        (),
        (),
        (),
    ]


def test_what_was_handed_in_and_not_kept_makes_what_follows_uncertain() -> None:
    reader = Reader()
    reader.read("x = frame.sum()", assigns=["frame"])
    assert reader.read("x") == ("unknown: x (it was handed in, and is not kept)",)


def test_reading_a_long_run_ends_soon() -> None:
    code = "\n".join(f"x{i} = [open(str(j)) for j in range({i})]" for i in range(2000))
    assert nondeterminism(code) == ("files: open()",)
