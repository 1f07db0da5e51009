"""What runs a trained network: onnxruntime, or OpenVINO where its extra is installed.

The same weights give slightly different numbers in different runtimes, so a record names the runtime
(`LearnedDetector.description`) and is graded again by the same one. One thread, and no spinning: the other
core belongs to the camera and the line, and one order of summation gives the same bits every time on the
same kind of processor.
"""

import importlib.util
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from grading.errors import ModelFileError

ONNXRUNTIME: Final = "onnxruntime"
OPENVINO: Final = "openvino"
OPENVINO_BF16: Final = "openvino-bf16"
RUNTIMES: Final = (ONNXRUNTIME, OPENVINO, OPENVINO_BF16)
"""`openvino` computes in 32 bits as onnxruntime does; `openvino-bf16` needs a processor with bfloat16."""

Image = NDArray[np.float32]
Answer = Callable[[Image], list[NDArray[np.float32]]]
"""Runs a network on one image (1, 3, side, side) and returns its outputs."""
Shapes = tuple[tuple[tuple[str, tuple[int, ...]], ...], tuple[tuple[int, ...], ...]]
"""Names and shapes of the inputs, shapes of the outputs; an unknown size is -1."""


def load(data: bytes, file: Path, runtime: str = ONNXRUNTIME) -> tuple[Answer, Shapes]:
    """Return a network ready to run, and its shapes. `file` is only named in errors.

    Raises ModelFileError for what is no network, and for a runtime that is not there.
    """
    if runtime == ONNXRUNTIME:
        return _onnxruntime(data, file)
    if runtime not in RUNTIMES:
        raise ModelFileError(file, f"cannot be run by {runtime!r}: the runtimes are {', '.join(RUNTIMES)}")
    return _openvino(data, file, runtime)


def _onnxruntime(data: bytes, file: Path) -> tuple[Answer, Shapes]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise ModelFileError(file, f"cannot be run: {str(error)[:200]}") from error
    given = session.get_inputs()
    if any(each.type != "tensor(float)" for each in given):
        raise ModelFileError(file, "has other inputs or outputs than a network of ours")
    name = given[0].name if given else ""

    def answer(image: Image) -> list[NDArray[np.float32]]:
        try:
            return [np.asarray(each, np.float32) for each in session.run(None, {name: image})]
        except Exception as error:  # as above
            raise ModelFileError(file, f"cannot be run: {str(error)[:200]}") from error

    shapes = tuple((each.name, _sizes(each.shape)) for each in given)
    return answer, (shapes, tuple(_sizes(each.shape) for each in session.get_outputs()))


def _openvino(data: bytes, file: Path, runtime: str) -> tuple[Answer, Shapes]:
    if importlib.util.find_spec("openvino") is None:
        raise ModelFileError(file, f"cannot be run by {runtime}: pip install 'guoyuan[openvino]'")
    import openvino

    core = openvino.Core()
    if runtime == OPENVINO_BF16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ModelFileError(file, f"cannot be run by {runtime}: this processor has no bfloat16")
    try:
        compiled = core.compile_model(
            core.read_model(BytesIO(data)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if runtime == OPENVINO_BF16 else "f32",
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
            },
        )
        request: Any = compiled.create_infer_request()
        shapes = tuple(
            (next(iter(each.names), ""), _partial(each))
            for each in compiled.inputs
            if each.element_type == openvino.Type.f32
        )
        outputs = tuple(_partial(each) for each in compiled.outputs)
    except Exception as error:  # OpenVINO raises bare RuntimeError and more
        raise ModelFileError(file, f"cannot be run: {str(error)[:200]}") from error

    def answer(image: Image) -> list[NDArray[np.float32]]:
        try:
            request.infer({0: image}, share_inputs=True)
            # Copied: the next frame is written into the same memory.
            return [np.array(request.get_output_tensor(index).data, np.float32) for index in range(len(outputs))]
        except Exception as error:  # as above
            raise ModelFileError(file, f"cannot be run: {str(error)[:200]}") from error

    return answer, (shapes, outputs)


def _sizes(shape: list[Any]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def _partial(port: Any) -> tuple[int, ...]:
    return tuple(size.get_length() if size.is_static else -1 for size in port.partial_shape)
