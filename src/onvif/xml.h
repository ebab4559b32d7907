/* An XML document of any bytes as a tree, for answers of devices on the network.
 *
 * Data flow: bytes -> expat -> tree of struct sp_xml_node -> walked by the caller. Names are
 * without their prefix: devices choose different ones, and ONVIF's names are unique without.
 *
 * At most SP_XML_BYTES_MAX bytes, SP_XML_NODES_MAX elements, nested at most SP_XML_DEPTH_MAX deep;
 * a document type is refused, and with it every entity of the document's own. All nodes belong to
 * the document and live until sp_xml_close; a document may be read by several threads. */
#pragma once

#include "base/error.h"

#include <stddef.h>

enum { SP_XML_BYTES_MAX = 1 << 20, SP_XML_NODES_MAX = 20000, SP_XML_DEPTH_MAX = 64 };

struct sp_xml;

struct sp_xml_node {
    const char *name; /* without prefix */
    const char *text; /* of this element alone, without blanks at both ends; never NULL */
    struct sp_xml_node *first, *next, *parent;
    const char *const *attributes; /* name, value, ..., NULL; names with their prefix */
};

/* `name` begins the error texts. SP_ERR_FORMAT, SP_ERR_NO_MEMORY. *out is set on success only. */
int sp_xml_read(struct sp_xml **out, const char *bytes, size_t count, const char *name,
                struct sp_error *err);

void sp_xml_close(struct sp_xml *document); /* NULL: nothing */

/* Never NULL. */
const struct sp_xml_node *sp_xml_root(const struct sp_xml *document);

/* The first descendant with this name in document order, or NULL. node NULL: NULL. */
const struct sp_xml_node *sp_xml_find(const struct sp_xml_node *node, const char *name);

/* The text of that descendant; "" if there is none. */
const char *sp_xml_text(const struct sp_xml_node *node, const char *name);

/* The value of an attribute; "" if there is none. */
const char *sp_xml_attribute(const struct sp_xml_node *node, const char *name);
