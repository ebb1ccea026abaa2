"""Annotations of other programs (COCO, VOC, YOLO) turned into the layouts that training reads."""
