"""The gateway: it finishes what devices could not decide, and answers over MQTT."""
