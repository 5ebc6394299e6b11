"""A long run of several gateways under many devices, while replicas are killed and the broker is restarted."""

from specnet.demo.soak.course import Soak, SoakCourse, run_soak
from specnet.demo.soak.ledger import Ledger, Said

__all__ = ["Ledger", "Said", "Soak", "SoakCourse", "run_soak"]
