"""A bill of materials in the form of SPDX 2.3 (ISO/IEC 5962), by the SPDX project's own library."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

from imagewright.errors import HostError
from imagewright.supplychain.inventory import Inventory


def check_library() -> None:
    """Raise HostError if the library is not installed: it brings much that other users do not need."""
    from importlib.util import find_spec

    if find_spec("spdx_tools") is None:
        raise HostError(
            "missing-library",
            "bills of materials in the form of SPDX need the library spdx-tools",
            cause="it is installed with the extra `spdx` of imagewright alone",
            hint="pip install 'imagewright[spdx]', or --sbom cyclonedx",
            option="sbom",
        )


def written(inventory: Inventory) -> bytes:
    """The document, the same bytes for the same inventory. Raises HostError if the library is not there."""
    check_library()
    from spdx_tools.spdx.model.actor import Actor, ActorType
    from spdx_tools.spdx.model.checksum import Checksum, ChecksumAlgorithm
    from spdx_tools.spdx.model.document import CreationInfo, Document
    from spdx_tools.spdx.model.package import (
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
        PackagePurpose,
    )
    from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
    from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    unknown = SpdxNoAssertion()
    packages = [
        Package(
            spdx_id="SPDXRef-image",
            name=inventory.name,
            version=inventory.version,
            download_location=unknown,
            files_analyzed=False,
            primary_package_purpose=PackagePurpose.OPERATING_SYSTEM,
            comment="\n".join(f"{name} SHA-256 {digest}" for name, digest in inventory.files),
        )
    ]
    for number, item in enumerate(inventory.items):
        packages.append(
            Package(
                spdx_id=f"SPDXRef-{number:04}-{re.sub('[^A-Za-z0-9.-]', '-', item.name)}",
                name=item.name,
                version=item.version,
                download_location=unknown,
                files_analyzed=False,
                checksums=[Checksum(ChecksumAlgorithm.SHA256, item.digest)] if item.digest else [],
                license_declared=unknown,
                license_comment=f"The copyright file names: {', '.join(item.licences)}" if item.licences else None,
                external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", item.purl)],
            )
        )
    relationships = [Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, "SPDXRef-image")]
    relationships += [
        Relationship("SPDXRef-image", RelationshipType.CONTAINS, package.spdx_id) for package in packages[1:]
    ]
    information = CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id="SPDXRef-DOCUMENT",
        name=inventory.name,
        document_namespace=f"urn:uuid:{inventory.serial}",
        creators=[Actor(ActorType.TOOL, f"imagewright-{inventory.made_by}")],
        created=datetime.fromtimestamp(inventory.moment, UTC).replace(tzinfo=None),
    )
    stream = io.StringIO()
    document = Document(information, packages=packages, relationships=relationships)
    # the tests validate; it takes seconds
    write_document_to_stream(document, stream, validate=False)
    return f"{stream.getvalue()}\n".encode()
