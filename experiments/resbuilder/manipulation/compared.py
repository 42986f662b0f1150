"""What is compared: networks by name, and the channels of the images that they see."""

NETWORKS = {
    "efficientnet-b0": "EfficientNet-B0",
    "efficientnet-b4": "EfficientNet-B4",
    "resnet-18": "ResNet-18",
    "resbuilder": "ResBuilder",
}
# JPEG quality of the error-level analysis, or none.
CHANNELS = {"rgb": None, "rgb_ela": 90}
