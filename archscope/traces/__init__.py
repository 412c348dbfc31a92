"""What a profiler's trace knows: operators, kernels, and the module call that each works for."""
