"""What is known without running: shapes, parameters, multiply-accumulates, memory."""
