// Follows a conversation: asks for new messages every two seconds while the page is visible, and
// appends them. Without this script, "Refresh" does the same.
"use strict";

(() => {
  const messages = document.querySelector("[data-follow]");
  const news = document.getElementById("news");
  if (!messages || !news) {
    return;
  }
  const soon = 2000;
  const longest = 60000;
  const most = 1000;
  let wait = soon;
  let unread = 0;
  let timer = 0;
  let ended = false;
  let asking = false;

  // Set only if it changes, because screen readers announce it each time.
  const say = (text) => {
    if (news.textContent !== text) {
      news.textContent = text;
    }
  };

  const end = (text) => {
    ended = true;
    say(text);
  };

  const isAtEnd = () =>
    window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40;

  const address = () => {
    const { follow, after, version, mark } = messages.dataset;
    return `${follow}&${new URLSearchParams({ after, version, mark })}`;
  };

  // Scripts in a document made by DOMParser never run, even after its nodes are moved.
  const append = (text) => {
    const fetched = new DOMParser().parseFromString(text, "text/html");
    const fresh = fetched.querySelector("[data-after]");
    if (!fresh) {
      throw new Error("no messages");
    }
    const wasAtEnd = isAtEnd();
    const { after, version, mark, count, more } = fresh.dataset;
    if (Number(count) > 0) {
      document.getElementById("empty")?.remove();
      messages.append(...[...fresh.children].map((each) => document.adoptNode(each)));
      unread = document.hidden || !wasAtEnd ? unread + Number(count) : Number(count);
      say(unread === 1 ? "1 new message" : `${unread} new messages`);
      if (wasAtEnd) {
        window.scrollTo({ top: document.documentElement.scrollHeight });
      }
    }
    Object.assign(messages.dataset, { after, version, mark });
    if (messages.children.length > most) {
      end("This page is full. Refresh it to continue.");
    }
    return Boolean(more);
  };

  const ask = async () => {
    asking = true;
    const begun = performance.now();
    let again = 0;
    try {
      const answer = await fetch(address(), { cache: "no-store" });
      if (answer.status === 404) {
        end("The conversation was deleted.");
      } else if (answer.status === 409) {
        end("The conversation was cut back or re-created. Refresh to see its current state.");
      } else if (answer.status === 401 || answer.status === 403) {
        end("You no longer have access. Open the page's link again.");
      } else if (answer.status === 200) {
        again = append(await answer.text()) ? 1 : 0;
      } else if (answer.status !== 204) {
        throw new Error(answer.statusText);
      } else if (wait > soon) {
        say("");
      }
      // Ask a slow store less often.
      wait = Math.min(longest, Math.max(soon, 10 * (performance.now() - begun)));
    } catch {
      wait = Math.min(longest, 2 * wait);
      say("The server does not answer. Trying again.");
    }
    asking = false;
    plan(again ? 0 : wait);
  };

  const plan = (time) => {
    clearTimeout(timer);
    if (!ended && !asking && !document.hidden) {
      timer = setTimeout(ask, time);
    }
  };

  document.addEventListener("visibilitychange", () => plan(0));
  window.addEventListener("scroll", () => {
    if (unread && isAtEnd()) {
      unread = 0;
    }
  }, { passive: true });
  plan(wait);
})();
