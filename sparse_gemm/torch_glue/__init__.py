"""What stands between torch and the products: operators of torch.library, and the way around them.

`operators` are the operators and `fakes` their shapes and types without data; `shortcut` takes
plain eager calls past torch's dispatcher; `layer_format` says what a layer's tensors may be. All
modules import torch, so nothing here is loaded before torch is in use.
"""
