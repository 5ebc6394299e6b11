"""A broker that only lets in who belongs there: `specnet-gateway broker-config`.

`plan` says who, `rules`, `limits` and `configuration` make mosquitto's files of it, `certificates` and `passwords` the
clients' proofs of identity, `folder` writes them, `trial` and `checking` try them with the mosquitto that is installed.
"""

from gateway.broker_config.checking import check_folder
from gateway.broker_config.folder import BrokerFolder, Written
from gateway.broker_config.plan import BrokerPlan, read_plan

__all__ = ["BrokerFolder", "BrokerPlan", "Written", "check_folder", "read_plan"]
