/* Search without a server: browsers refuse to start a worker from a file, so that a hidden frame
   takes its place. Pages that a server delivers keep the browser's own workers. The theme's plugin
   for offline sites would load such a script from another host; its name must contain
   "iframe-worker", or that one is added. */
if (window.location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      this.receive = (event) => {
        if (event.source === this.frame.contentWindow) {
          const copy = new MessageEvent("message", { data: event.data });
          this.dispatchEvent(copy);
          if (this.onmessage) this.onmessage(copy);
        }
      };
      window.addEventListener("message", this.receive);
      this.loaded = new Promise((resolve) => (this.frame.onload = resolve));
      const inside = this.frame.contentDocument;
      inside.open();
      // A worker's postMessage and importScripts, as far as the search uses them.
      inside.write(
        "<script>" +
          "postMessage = (data) => parent.postMessage(data, '*');" +
          "importScripts = (...urls) => Promise.all(urls.map((url) => new Promise((done, fail) => {" +
          "  const script = document.createElement('script');" +
          "  script.src = url; script.onload = done; script.onerror = fail;" +
          "  document.head.appendChild(script); })));" +
          "</script>" +
          `<script src="${url}"></script>`,
      );
      inside.close();
    }

    postMessage(data) {
      this.loaded.then(() => {
        const target = this.frame.contentWindow;
        const event = new target.MessageEvent("message", { data });
        target.dispatchEvent(event);
      });
    }

    terminate() {
      window.removeEventListener("message", this.receive);
      this.frame.remove();
    }
  };
}
