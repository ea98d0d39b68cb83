// Solutions are folded. A link to one opens it, and `?solutions` in a page's address opens all of them, for printing.
document.addEventListener("DOMContentLoaded", () => {
  const open = section => section?.querySelectorAll("details").forEach(details => { details.open = true; });
  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    open(target?.closest("section[id^='solution-']"));
  };
  window.addEventListener("hashchange", follow);
  follow();
  if (new URLSearchParams(location.search).has("solutions")) {
    document.querySelectorAll("section[id^='solution-']").forEach(open);
  }
});
