"""What is never drawn, and for whom what may be."""
