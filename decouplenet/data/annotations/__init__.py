"""Label formats with files of their own: COCO, VOC, NUS-WIDE."""
