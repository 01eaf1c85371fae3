/* The server that this page came from. Every address is relative to the page's own: a proxy may serve us under a
   prefix. */

import { Server } from "../client/server.js";

export const server = new Server(document.baseURI);
