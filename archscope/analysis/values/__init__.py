"""What is known of tensors on meta: a mask that was given, a constant, and what is made of them.

Every tensor of a run is on meta, so that it has one device and no storage.
Beside them a table says how the contents of a storage come about, where they depend on neither
weights nor floating inputs; they are computed only when somebody asks for them.
"""
