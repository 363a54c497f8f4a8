"""A bill of materials in the form of CycloneDX 1.6 (ECMA-424), by the project's own library."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagewright.supplychain.inventory import Inventory, Item
from imagewright.supplychain.licences import spdx_identifier

if TYPE_CHECKING:
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense


def written(inventory: Inventory) -> bytes:
    """The document, the same bytes for the same inventory."""
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    image = Component(
        type=ComponentType.OPERATING_SYSTEM,
        name=inventory.name,
        version=inventory.version,
        bom_ref="image",
        components=[
            Component(
                type=ComponentType.FILE,
                name=name,
                bom_ref=f"file:{name}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            )
            for name, digest in inventory.files
        ],
    )
    bom = Bom(serial_number=inventory.serial)
    bom.metadata.component = image
    bom.metadata.timestamp = datetime.fromtimestamp(inventory.moment, UTC)
    bom.metadata.tools.components.add(
        Component(type=ComponentType.APPLICATION, name="imagewright", version=inventory.made_by, bom_ref="imagewright")
    )
    parts = [_part(item) for item in inventory.items]
    if inventory.system:
        parts.append(
            Component(
                type=ComponentType.OPERATING_SYSTEM,
                name=inventory.system,
                version=inventory.system_version or None,
                bom_ref="system",
            )
        )
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(image, parts)
    return (JsonV1Dot6(bom).output_as_string(indent=2) + "\n").encode()


def _part(item: Item) -> Component:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=item.name,
        version=item.version,
        bom_ref=item.purl,
        purl=PackageURL.from_string(item.purl),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item.digest)] if item.digest else [],
        licenses=[_licence(name) for name in item.licences],
    )


def _licence(name: str) -> DisjunctiveLicense:
    from cyclonedx.model.license import DisjunctiveLicense

    identifier = spdx_identifier(name)
    return DisjunctiveLicense(id=identifier) if identifier else DisjunctiveLicense(name=name)
