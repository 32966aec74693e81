# A repository's life.
command -v git >/dev/null || exit 77
set -e
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q -b main repo && cd repo
mkdir dir && for i in $(seq 1 60); do seq 1 "$i" >"dir/file$i"; done
git add . && git commit -q -m first && git rev-parse HEAD && git status --short
git checkout -q -b side && echo change >>dir/file5 && git rm -q dir/file6 && git commit -q -a -m side
git checkout -q main && echo other >>dir/file9 && git commit -q -a -m main && git merge -q -m merge side
git log --oneline --graph | cat && git diff HEAD~1 --stat | cat && git show --stat HEAD~1 | tail -n 1
git gc -q && git fsck --full 2>&1 | grep -v '^Checking' || true
cd .. && git clone -q repo clone && cd clone && git log --format=%H -1 && ls dir | wc -l
echo x >new && git stash -q -u && ls new 2>/dev/null || git stash pop -q && cat new
git grep -c change | head -n 2; git blame dir/file5 | tail -n 1 | cut -d')' -f2; git tag v1 && git describe --tags
git archive HEAD | tar t | wc -l && git rebase -q HEAD~1 && git reflog | wc -l
