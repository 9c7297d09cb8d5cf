"""Heartbeats as a web service is usually written: one ORM transaction for each.

It identifies the device by its client certificate, refuses a counter that was used, and leaves a row for each heartbeat.
"""

import hashlib
import os
from datetime import datetime, timezone

from flask import Flask, jsonify, request
from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Device(Base):
    __tablename__ = "device"
    device_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    revoked: Mapped[bool] = mapped_column(default=False)
    heartbeat_counter: Mapped[int] = mapped_column(BigInteger, default=0)
    agent_version: Mapped[str | None] = mapped_column(String(64))
    hostname: Mapped[str | None] = mapped_column(String(253))
    platform: Mapped[str | None] = mapped_column(String(64))
    tags: Mapped[list] = mapped_column(JSON)
    posture: Mapped[dict] = mapped_column(JSON)
    last_seen_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Heartbeat(Base):
    __tablename__ = "heartbeat"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("device.device_id"), index=True)
    heartbeat_counter: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


engine = create_engine(os.environ["DATABASE_URL"], pool_size=16, max_overflow=0)
app = Flask(__name__)


def problem(status, code):
    return jsonify(code=code), status


@app.post("/api/heartbeat")
def heartbeat():
    body = request.get_json()
    certificate = request.environ["gunicorn.socket"].getpeercert(binary_form=True)
    fingerprint = hashlib.sha256(certificate).hexdigest()
    now = datetime.now(timezone.utc)
    with Session(engine) as session, session.begin():
        device = session.scalar(select(Device).where(Device.device_id == body["device_id"]).with_for_update())
        if device is None or device.fingerprint != fingerprint or device.revoked:
            return problem(403, "certificate.revoked")
        if body["heartbeat_counter"] <= device.heartbeat_counter:
            return problem(409, "heartbeat.replayed")
        device.heartbeat_counter = body["heartbeat_counter"]
        device.agent_version = body["agent_version"]
        device.hostname = body["hostname"]
        device.platform = body["platform"]
        device.tags = body["tags"]
        device.posture = body["posture"]
        device.last_seen_at = now
        session.add(Heartbeat(device_id=device.device_id, heartbeat_counter=device.heartbeat_counter, received_at=now))
        answer = {"status": "accepted", "trust_tier": "monitored", "next_heartbeat_seconds": 15}
    return jsonify(answer)


if __name__ == "__main__":
    Base.metadata.create_all(engine)
