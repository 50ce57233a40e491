"""What old libraries need beside new ones. Each module is imported by those who use the library, and by nobody else."""
