"""archscope tells what a PyTorch network costs, and why."""

__version__ = "0.1.0"
