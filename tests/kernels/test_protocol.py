"""The public conformance suite of the Jupyter protocol, run against our kernels."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import pytest
from jupyter_client.kernelspec import KernelSpecManager


class TestVenvKernel(jupyter_kernel_test.KernelTests):
    """`pcm-venv` behaves as any Python kernel does."""

    kernel_name = "pcm-venv"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('to stderr', file=sys.stderr)"
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('on purpose')"
    code_execute_result = ({"code": "6*7", "result": "42"}, {"code": "'a' * 3", "result": "'aaa'"})
    code_display_data = (
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "mime": "text/html"},
        {
            "code": "from IPython.display import SVG; display(SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>'))",
            "mime": "image/svg+xml",
        },
    )
    code_history_pattern = "6?7"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    completion_samples = ({"text": "zi", "matches": {"zip"}},)
    complete_code_samples = ("1", "print('x')", "def f():\n  return 1\n\n")
    incomplete_code_samples = ("print('''hello", "def f():\n  x*2", "for i in range(3):")
    invalid_code_samples = ("import = 7q",)


class TestInProcessKernel(TestVenvKernel):
    """`pcm-in-process` behaves as any Python kernel does."""

    kernel_name = "pcm-in-process"


@pytest.mark.needs("docker")
@pytest.mark.usefixtures("images")
class TestContainerKernel(TestVenvKernel):
    """`pcm-container` behaves as any Python kernel does; SVG, which may hold scripts, becomes a picture."""

    kernel_name = "pcm-container"
    code_display_data = (
        TestVenvKernel.code_display_data[0],
        {**TestVenvKernel.code_display_data[1], "mime": "text/html"},
    )


class TestContainerKernelWithoutNetwork(TestContainerKernel):
    """The same without a network."""

    kernel_name = "pcm-container-offline"

    @classmethod
    def setUpClass(cls) -> None:
        spec: dict[str, Any] = KernelSpecManager().get_kernel_spec("pcm-container").to_dict()
        spec["metadata"]["kernel_provisioner"]["config"] = {"network_disabled": True}
        cls.folder = Path(os.environ["JUPYTER_DATA_DIR"], "kernels", cls.kernel_name)
        cls.folder.mkdir(parents=True)
        (cls.folder / "kernel.json").write_text(json.dumps(spec))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        shutil.rmtree(cls.folder)
