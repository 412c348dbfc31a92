"""What must be run: clocks, profiler events, device peaks."""
