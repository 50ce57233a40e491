"""The parts of the knowledge-prompt method, one file each; `baselines/knowledge_prompt.py` puts them together."""
