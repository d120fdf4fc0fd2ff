"""The workstation's half: a torchvision classifier, its weights and labelled pictures become an artifact for the device.

    edge-export build --model mobilenet_v3_small --weights FILE --data PHOTOS --output DIR

Data flows one way:

    source    a torchvision name and weights       → a module in evaluation mode, its preset, its class count
    labels    a file or the folders' names         → the labels, in the order of the logits
    dataset   a folder of one folder per label     → sentinel and statistics pictures, independent of file names
    taps      the traced network                   → its last layer, what enters it, the nodes to tap
    tapped    the network opened there             → logits, features and the averaged taps
    measure   pictures through the tapped network  → logits and raw features
    statistics  raw features                       → temperature, context map, leak table, class scalars
    backbone_graph, head_graph, portable_step      → the ONNX files
    parity    PyTorch against what was written     → greatest differences, or an error and no artifact
    writer    files                                → the artifact directory, all or nothing

`build` ties these together, `verify` opens what was built, `cli` is `edge-export`. Importing this package loads none of them.
"""
