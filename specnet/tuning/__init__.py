"""Tuning: split point, codec and thresholds for a device, a link and a gateway, on cached logits."""
