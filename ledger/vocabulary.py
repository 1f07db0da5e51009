"""The words events are made of: EPCIS 2.0 types, CBV 2.0 steps and dispositions, our own terms."""

from enum import StrEnum
from typing import Final

EPCIS_CONTEXT: Final = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
GY: Final = "https://ns.guoyuan.example/epcis/"
BTT: Final = GY + "btt/"
COMPONENT: Final = GY + "component/"
METHOD: Final = "https://guoyuan.example/method/"

CONTEXT: Final = (EPCIS_CONTEXT, {"gy": GY, "cbvmda": "urn:epcglobal:cbv:mda:"})
"""The `@context` of every event we record. `cbvmda` stands inline: hash generators disagree otherwise."""


class Action(StrEnum):
    """What an event does to its objects (EPCIS 2.0, 7.3.2)."""

    ADD = "ADD"
    OBSERVE = "OBSERVE"
    DELETE = "DELETE"


class BizStep(StrEnum):
    """CBV 2.0 business steps that our sentences use. No step outside the CBV."""

    COMMISSIONING = "commissioning"
    CREATING_CLASS_INSTANCE = "creating_class_instance"
    DECOMMISSIONING = "decommissioning"
    HOLDING = "holding"
    INSPECTING = "inspecting"
    INSTALLING = "installing"
    OTHER = "other"
    PACKING = "packing"
    RECEIVING = "receiving"
    RETAIL_SELLING = "retail_selling"
    SENSOR_REPORTING = "sensor_reporting"
    SHIPPING = "shipping"
    STORING = "storing"


class Disposition(StrEnum):
    """CBV 2.0 dispositions that our sentences use."""

    ACTIVE = "active"
    COMPLETENESS_VERIFIED = "completeness_verified"
    CONFORMANT = "conformant"
    CONTAINER_CLOSED = "container_closed"
    IN_PROGRESS = "in_progress"
    IN_TRANSIT = "in_transit"
    INACTIVE = "inactive"
    MISMATCH_QUANTITY = "mismatch_quantity"
    RECALLED = "recalled"
    UNKNOWN = "unknown"


class Transaction(StrEnum):
    """Types of business transaction: CBV words, and our own under `gy:btt/`."""

    PURCHASE_ORDER = "po"
    PRODUCTION_ORDER = "prodorder"
    DESPATCH_ADVICE = "desadv"
    RECEIVING_ADVICE = "recadv"
    BROADCAST = BTT + "broadcast"
    GRADING_RUN = BTT + "grading-run"
    QUOTA = BTT + "quota"
    CERTIFICATE = "cert"
    RECALL = BTT + "recall"
    TREATMENT = BTT + "treatment"


class PartyRole(StrEnum):
    """Types of source and destination (CBV 2.0, 7.4)."""

    LOCATION = "location"
    OWNING = "owning_party"
    POSSESSING = "possessing_party"


class Unit(StrEnum):
    """UN/CEFACT Recommendation 20 codes, the only units that stand in events."""

    GRAM = "GRM"
    CELSIUS = "CEL"
    PERCENT = "P1"
    MILLIMETRE = "MMT"
    WATT_PER_SQUARE_METRE = "D54"
    MINUTE = "MIN"
    METRE_PER_SECOND = "MTS"
    KILOPASCAL = "KPA"
    LUX = "LUX"


class Sentence(StrEnum):
    """The sentences of Guoyuan, each with its edition, as `gy:sentence` carries them."""

    PLOT_REGISTERED = "plot_registered/1"
    DEVICE_ENROLLED = "device_enrolled/1"
    TREATED = "treated/1"
    READING_CONFLICT = "reading_conflict/1"
    WINDOW_CLOSED = "window_closed/1"
    BROADCAST_OPENED = "broadcast_opened/1"
    SOLD = "sold/1"
    PICK_ORDER_RAISED = "pick_order_raised/1"
    PICKED = "picked/1"
    CRATED = "crated/1"
    RECEIVED = "received/1"
    PRE_COOLED = "pre_cooled/1"
    CALIBRATED = "calibrated/1"
    OVERRIDE_MADE = "override_made/1"
    GRADED = "graded/1"
    QUOTA_GRANTED = "quota_granted/1"
    CODE_ACTIVATED = "code_activated/1"
    PACKED = "packed/1"
    CODE_VOIDED = "code_voided/1"
    CERTIFICATE_ISSUED = "certificate_issued/1"
    LOADED = "loaded/1"
    SHIPPED = "shipped/1"
    DELIVERED = "delivered/1"
    SCAN_ALARM = "scan_alarm/1"
    FEEDBACK_GIVEN = "feedback_given/1"
    RECALLED = "recalled/1"
    CHAIN_MOVED = "chain_moved/1"
