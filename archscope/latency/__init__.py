"""Time on a GPU that is not here: devices, kinds of work, and what each needs of a device.

Nothing here measures, and nothing here imports torch: a recorded run goes in, seconds come out.
"""
