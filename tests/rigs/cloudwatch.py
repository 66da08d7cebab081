"""CloudWatch as moto serves it: metrics are counted, alarms ring when they are told to.

moto gives no percentiles and no metric math, has no composite alarms, never refuses and never fails: the front answers
in its place for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.session
from botocore.validate import validate_parameters

from tests.rigs.aws_front import REGION, Fault, Front

ALWAYS = -1


class Cloud:
    """`front`: what the adapters ask; a client of our own goes round it."""

    def __init__(self, upstream: tuple[str, int], front: Front) -> None:
        self.front = front
        options = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": REGION}
        self._moto: Any = boto3.client("cloudwatch", endpoint_url=f"http://{upstream[0]}:{upstream[1]}", **options)

    @property
    def settings(self) -> dict[str, Any]:
        return {"endpoint": self.front.url, "region": REGION}

    def empty(self) -> None:
        self._moto.delete_alarms(AlarmNames=self.alarms())

    def alarms(self) -> list[str]:
        return [alarm["AlarmName"] for alarm in self._moto.describe_alarms()["MetricAlarms"]]

    def alarm(self, name: str, state: str = "OK", why: str = "tested") -> None:
        values = {"EvaluationPeriods": 1, "Period": 60, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
        self._moto.put_metric_alarm(AlarmName=name, MetricName="x", Namespace="shop", Statistic="Sum", **values)
        self.set(name, state, why)

    def set(self, name: str, state: str, why: str = "tested") -> None:
        self._moto.set_alarm_state(AlarmName=name, StateValue=state, StateReason=why)

    def count(self, namespace: str, metric: str, at: float, *values: float, **dimensions: str) -> None:
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        datum = {"MetricName": metric, "Dimensions": named, "Timestamp": datetime.fromtimestamp(at, UTC)}
        self._moto.put_metric_data(Namespace=namespace, MetricData=[{**datum, "Value": value} for value in values])

    def says(self, operation: str, answer: Mapping[str, Any], times: int = ALWAYS) -> None:
        self.front.faults.append(Fault("canned", operation, times=times, body=dict(answer)))

    def fails(self, kind: str, operation: str = "", times: int = ALWAYS, **body: Any) -> None:
        self.front.faults.append(Fault(kind, operation, times=times, body=body))


def valid(operation: str, parameters: Mapping[str, Any]) -> None:
    """By botocore's own model of CloudWatch; raises where AWS's SDK would."""
    model = botocore.session.get_session().get_service_model("cloudwatch").operation_model(operation)
    validate_parameters(dict(parameters), model.input_shape)
