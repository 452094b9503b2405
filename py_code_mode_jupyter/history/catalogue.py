"""What is known of names that code uses, for `nondeterminism`: data, and nothing else."""

from __future__ import annotations

import sys

# A name in a module of which anything may differ from one time to the next.
MODULES = {
    **dict.fromkeys(("time", "datetime", "zoneinfo", "sched"), "time"),
    **dict.fromkeys(("random", "numpy.random", "scipy.stats", "torch", "tensorflow", "faker"), "random"),
    **dict.fromkeys(("secrets", "uuid"), "uuid"),
    **dict.fromkeys(
        (
            *("requests", "httpx", "aiohttp", "urllib.request", "urllib3", "http.client", "http.server"),
            *("socket", "ssl", "ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "websockets"),
            *("websocket", "paramiko", "boto3", "openai", "anthropic", "huggingface_hub", "yfinance"),
        ),
        "network",
    ),
    **dict.fromkeys(("glob", "tempfile", "shutil", "zipfile", "tarfile", "fileinput", "linecache"), "files"),
    **dict.fromkeys(("sqlite3", "shelve", "dbm", "sqlalchemy", "duckdb"), "files"),
    **dict.fromkeys(("subprocess", "pexpect", "pty"), "subprocess"),
    **dict.fromkeys(
        ("platform", "psutil", "getpass", "locale", "resource", "sysconfig", "pwd", "grp", "site"),
        "environment",
    ),
    **dict.fromkeys(("threading", "multiprocessing", "concurrent.futures", "queue", "joblib"), "threads"),
    **dict.fromkeys(("importlib", "runpy", "ctypes", "pickle", "marshal", "cloudpickle", "dill"), "unknown"),
    "artifacts": "storage",
    "workflows": "storage",
    "deps": "storage",
}
# A name of its own kind, in a module that is harmless by itself.
CALLS = {
    **dict.fromkeys(("os.urandom", "os.getrandom"), "random"),
    **dict.fromkeys(
        (
            *("os.environ", "os.getenv", "os.getpid", "os.getcwd", "os.getlogin", "os.uname", "os.cpu_count"),
            *("sys.argv", "sys.path", "sys.modules", "sys.version", "sys.platform", "sys.executable"),
        ),
        "environment",
    ),
    **dict.fromkeys(
        ("os.listdir", "os.scandir", "os.walk", "os.stat", "os.open", "os.read", "io.open", "os.path.exists"),
        "files",
    ),
    **dict.fromkeys(("os.system", "os.popen", "os.fork", "os.spawnv", "os.execv"), "subprocess"),
    **dict.fromkeys(("asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"), "subprocess"),
    **dict.fromkeys(("asyncio.open_connection", "asyncio.start_server"), "network"),
    **dict.fromkeys(("asyncio.as_completed", "asyncio.to_thread"), "threads"),
    **dict.fromkeys(("numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile"), "files"),
    **dict.fromkeys(("pandas.Timestamp.now", "pandas.Timestamp.today"), "time"),
}
# Names of those modules that do the same every time.
SAFE = frozenset(
    (
        "datetime.date datetime.datetime datetime.timedelta datetime.timezone datetime.UTC datetime.time "
        "datetime.timezone.utc datetime.datetime.fromisoformat datetime.date.fromisoformat "
        "datetime.datetime.strptime datetime.datetime.combine datetime.datetime.fromtimestamp "
        "time.sleep time.struct_time "
        "uuid.UUID uuid.uuid3 uuid.uuid5 uuid.NAMESPACE_DNS uuid.NAMESPACE_URL artifacts.save "
        "random.seed numpy.random.seed numpy.random.Generator tempfile.gettempdir zipfile.ZipFile"
    ).split()
)
# What makes a generator of random numbers the same every time, and which names then are.
SEEDS = {"random.seed": "random", "numpy.random.seed": "numpy.random", "torch.manual_seed": "torch"}
# What makes a generator, the same every time if it is given something.
MAKERS = frozenset(
    {
        "random.Random",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.PCG64",
        "numpy.random.MT19937",
    }
)
BUILTINS = {
    "input": "input",
    "open": "files",
    "hash": "order",
    "id": "order",
    "eval": "unknown",
    "exec": "unknown",
    "compile": "unknown",
    "__import__": "unknown",
    "breakpoint": "input",
}
# Methods that say what they do, whatever they are of.
METHODS = {
    **dict.fromkeys(("read_text", "read_bytes", "iterdir", "glob", "rglob", "stat"), "files"),
    **dict.fromkeys(
        (
            *("read_csv", "read_parquet", "read_excel", "read_json", "read_feather", "read_pickle"),
            *("read_sql", "read_table", "read_html", "read_hdf", "scan_csv", "scan_parquet"),
        ),
        "files",
    ),
    "sample": "random",
}
# Magics, those that are harmless too; of all others nothing is known.
MAGICS = {
    **dict.fromkeys(("time", "timeit", "prun"), "time"),
    **dict.fromkeys(("pip", "conda", "uv", "mamba"), "network"),
    **dict.fromkeys(("run", "load", "cd", "ls", "pwd", "cat", "writefile", "store"), "files"),
    **dict.fromkeys(("sx", "system", "bash", "sh", "script", "perl", "ruby"), "subprocess"),
    **dict.fromkeys(("env", "set_env"), "environment"),
    **dict.fromkeys(("matplotlib", "precision", "who", "who_ls", "whos", "pinfo", "pinfo2", "colors"), ""),
}
# What a name usually stands for, in code whose import is not seen.
USUAL_NAMES = {"np": "numpy", "pd": "pandas", "pl": "polars", "plt": "matplotlib.pyplot", "dt": "datetime"}
_NOT_LOOKED_INTO = {"test", "idlelib", "lib2to3", "ensurepip", "venv", "antigravity", "this"}
KNOWN = (frozenset(sys.stdlib_module_names) - _NOT_LOOKED_INTO) | {
    *("numpy", "pandas", "polars", "pyarrow", "matplotlib", "seaborn", "scipy", "sklearn", "sympy"),
    *("statsmodels", "networkx", "PIL", "IPython", "ipywidgets", "plotly", "altair", "bokeh"),
}
"""Modules whose other names do the same every time, as far as they are used without the ones above."""
