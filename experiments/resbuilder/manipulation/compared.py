"""What is compared: networks by name, and the channels of their images."""

NETWORKS = {
    "efficientnet-b0": "EfficientNet-B0",
    "efficientnet-b4": "EfficientNet-B4",
    "resnet-18": "ResNet-18",
    "resbuilder": "ResBuilder",
}
# JPEG quality of the error-level analysis; None for RGB alone.
CHANNELS = {"rgb": None, "rgb_ela": 90}
