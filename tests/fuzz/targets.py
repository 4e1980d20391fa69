"""All fuzz targets by name: what hostile bytes can reach, on a relay and on a member's or IT's computer."""

from tests.fuzz import boot_targets, host_targets, member_targets, relay_targets, socket_targets, staging_targets
from tests.fuzz.target import Target

TARGETS: dict[str, type[Target]] = {
    found.name: found
    for module in (relay_targets, staging_targets, boot_targets, host_targets, member_targets, socket_targets)
    for found in module.TARGETS
}
