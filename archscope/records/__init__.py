"""Facts and measurements, frozen: what was counted or measured, of which network, on what."""

from archscope.records.cost import (
    COMPLEX,
    FREE,
    IDLE,
    Cost,
    Factor,
    Product,
    Work,
)
from archscope.records.distribution import (
    ClosedForm,
    Collective,
    CollectivePhase,
    Distribution,
    HeldMemory,
    ParallelKind,
    StepTime,
)
from archscope.records.execution import (
    Elementwise,
    Execution,
    LayerName,
    Operand,
    OperatorRun,
)
from archscope.records.generation import (
    Generation,
)
from archscope.records.measured import (
    BatchSweep,
    Environment,
    LayerTime,
    Measurement,
    Profile,
)
from archscope.records.memory import (
    LiveBytes,
    MemoryPrediction,
    SavedBytes,
)
from archscope.records.network import (
    Analysis,
    Coverage,
    Dim,
    InputSpec,
    Layer,
    Node,
    Setting,
    Shape,
    TensorSpec,
    Totals,
    totals,
)
from archscope.records.prediction import (
    LayerPrediction,
    Pass,
    PredictedTime,
    Prediction,
)
from archscope.records.signal import (
    NetworkSignal,
    SignalPoint,
    SignalPropagation,
)

__all__ = [
    "COMPLEX",
    "FREE",
    "IDLE",
    "Analysis",
    "BatchSweep",
    "ClosedForm",
    "Collective",
    "CollectivePhase",
    "Cost",
    "Coverage",
    "Dim",
    "Distribution",
    "Elementwise",
    "Environment",
    "Execution",
    "Factor",
    "Generation",
    "HeldMemory",
    "InputSpec",
    "Layer",
    "LayerName",
    "LayerPrediction",
    "LayerTime",
    "LiveBytes",
    "Measurement",
    "MemoryPrediction",
    "NetworkSignal",
    "Node",
    "Operand",
    "OperatorRun",
    "ParallelKind",
    "Pass",
    "PredictedTime",
    "Prediction",
    "Product",
    "Profile",
    "SavedBytes",
    "Setting",
    "Shape",
    "SignalPoint",
    "SignalPropagation",
    "StepTime",
    "TensorSpec",
    "Totals",
    "Work",
    "totals",
]
