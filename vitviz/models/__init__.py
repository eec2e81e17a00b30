"""Models: what exists, how one is loaded, at which size, on which device, with which labels.

- `loading`: `load_model`, from a name, a weight file, a folder or a module to a `model.Model`
- `hub`: pretrained weights in the caches or downloaded; `cards`: what cards and configs beside weights may say
- `checkpoint`: reading weight files without running code; `file_kinds`: what other files are; `networks`: which tensors of a
  checkpoint are the network
- `recognition`: which architecture a weight file is of; `architectures`: the shipped index it searches; `plain_vit`: what
  fits none, built from its tensors; `torchvision_files`, `jax_files`, `hugging_face`: the models of other libraries
- `describing`: what a module states (preprocessing, classes); `outputs`: whether its numbers are classes, values or an
  embedding; `labels`: names of classes
- `unwrapping`, `vision_part`: what is taken out of a module that the caller gives; `pass_lock`, `pass_hooks`, `passes`:
  forward passes that leave those of other threads alone
- `sizes`: the same weights at another input size; `devices`: where a model runs, and the error when memory is not enough
- `catalog`: what can be loaded by name (`vitviz models`); `model_table`: what is known of every name without torch and timm
- `listing`: what the model browser lists, and where each model is; `settings`: how a model is loaded, as it is remembered
- `transfer`: a download that continues; `random_weights`: architectures without trained weights

Decisions, with what was rejected:

- timm builds the models and defines what exists; a table of vitviz's own would have to follow timm's.
- A weight file's architecture is found from its tensors, through an index of names and shapes (23 KB); building all
  348 candidates for each file takes minutes, and asking the user for a name is what every other tool does.
- Where the tensors fit several architectures that compute differently, nothing is guessed: a wrong activation or window
  gives a wrong picture that looks right. Where only the preprocessing differs, the plainest is used and reported.
- A file that holds more than tensors is refused rather than unpickled, and no option changes that.
- What no tensor says (the number of heads, the sides of a picture that is no square) is taken from the file's settings or
  asked for; only heads of the usual width are assumed, and this is said.
- At another input size the parameters are shared rather than copied, so a second size costs almost no memory.
"""
